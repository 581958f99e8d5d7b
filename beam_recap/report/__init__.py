"""What a run leaves behind beside its rows: ``summary.json``, the dataset card and the report page."""
