"""Behavioural suites: what a model should manage, as tests in a file (Ribeiro et al. 2020, 2005.04118).

Imports from `assess` and below. `suite_file` reads a file, or one of ``shipped/``, whose cases `templates` writes out;
`evaluate_suite` asks a model and keeps what fails; `suite_sentences` says it on the console and in the report.
"""
