"""The models of these tests are tiny."""

from __future__ import annotations

import torch

# The matrices here are small: several threads would only wait for each other.
torch.set_num_threads(1)
