"""A page that shows how trackers did: one HTML file that needs nothing else."""

from stif_core.evaluation.report.page import write_report

__all__ = ["write_report"]
