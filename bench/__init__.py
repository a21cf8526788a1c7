"""Measures the speeds and sizes that fastjobs claims; see README.md. Not part of the installed package."""
