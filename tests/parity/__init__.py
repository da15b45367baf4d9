"""Our models against the R2GenCMN authors' own code: `make parity`."""
