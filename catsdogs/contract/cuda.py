"""Claims that only a GPU can try: CUDA graphs, state from the CPU, a scaler's found_inf."""
