"""TensorRT engines: built from the exported graphs, kept on disk, run on the GPU."""
