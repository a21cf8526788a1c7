"""Measures what fastjobs promises about speed and size; see README.md. Not part of the installed package."""
