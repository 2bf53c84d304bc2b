"""Long clips in which the target leaves and comes back, and what trackers make of it: ``stif benchmark lost``."""
