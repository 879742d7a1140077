//! Every kind of problem has its report.
