"""The one core that answers texts."""
