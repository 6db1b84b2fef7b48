"""Background work: jobs in the database, run chunk by chunk by any number of workers."""
