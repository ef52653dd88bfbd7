"""`make bench`: what Shoal does per second, beside a bare loop over the same rows, and against what it promises."""
