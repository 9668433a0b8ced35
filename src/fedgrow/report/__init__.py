"""What runs and models come to, as text: report.md, tables of settings and families."""
