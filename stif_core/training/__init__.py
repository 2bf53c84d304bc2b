"""Training of STIF networks; needs the extra ``[train]``."""
