"""Programs for those who work on catsdogs: measurements, simulated crashes, weights, pictures."""
