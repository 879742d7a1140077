//! Assembly
