"""The shop on several machines, which are network namespaces: links are cut, slow or lossy, clocks are wrong."""
