"""What comes of a run: outcomes, why targets failed, tables, journals."""
