"""What every test run needs: one thread for each worker, so that workers do not fight for cores."""

import torch

torch.set_num_threads(1)
