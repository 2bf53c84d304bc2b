"""Images in and out: folders, videos, cameras, drawings."""
