"""What a run tells people: summary.json, report.md, tables and model cards."""
