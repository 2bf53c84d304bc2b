"""The STIF network. Only ``config`` may be imported without PyTorch."""
