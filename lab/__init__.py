"""Break it yourself: what the demo and the tests do to the shop. No production settings install or import it."""
