"""Break it yourself: experiments on the running demo. Production settings do not install or import it."""
