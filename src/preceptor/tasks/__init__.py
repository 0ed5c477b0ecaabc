"""Work that trains nothing: labels, audits, estimates, evaluations, cohorts."""
