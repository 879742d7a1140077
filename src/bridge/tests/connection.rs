//! CONNECT, deadlines, pings, pauses between attempts, presence and good-bye.
