"""Item neighbours and EASE: what needs no network, and often is hard to beat."""
