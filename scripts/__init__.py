"""Scripts for contributors: benchmarks, the chaos test, downloads, embedded weights, images."""
