"""Tasks without training: labelling, audits, estimates, evaluations, cohorts."""
