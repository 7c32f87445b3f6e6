"""The HTTP edge: wire JSON <-> values. What users know of rollbook lives in the modules above."""
