"""Background work: jobs in the database, done chunk by chunk by any number of workers."""
