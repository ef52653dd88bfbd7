"""Jobs that are written down: in a file, a folder of files, or a git repository; as TOML or YAML."""

from shoal.adapters.manifests.manifests import Manifests

__all__ = ["Manifests"]
