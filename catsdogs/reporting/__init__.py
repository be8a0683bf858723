"""From the records of runs to tables, figures and one page; needs no torch and no pictures."""
