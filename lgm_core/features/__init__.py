"""Images become features once: random views, extraction, the cache on disk."""
