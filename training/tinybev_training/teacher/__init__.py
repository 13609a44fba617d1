"""What distils: one interface, dumps of UniAD, our own cross-modal teacher, and the student's own average."""
