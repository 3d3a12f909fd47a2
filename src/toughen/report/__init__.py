"""Reports as one HTML file each, and the model card."""
