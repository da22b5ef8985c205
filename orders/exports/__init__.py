"""Orders and customers as a file for staff: requested in the admin, made by a job, opened by a link in a mail."""
