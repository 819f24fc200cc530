"""The archive of a closed year: one ZIP that is read and verified without Ringi."""
