"""How the embedded weights were made. No other part imports it."""
