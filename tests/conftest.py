"""Networks that many tests share; the full-size ones are made once and kept in the cache folder."""
