"""The dashboard: one page that shows a run live, from its ledger and what its trainings log."""
