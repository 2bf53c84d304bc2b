"""Training data: readers, samples, augmentation."""
