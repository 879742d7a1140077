//! The door of one listener: who a client is, before the broker hears of it.
//!
//! A CONNECT waits here for the verdict on its password, in its connection's own task: nobody else waits with it, and
//! the broker's core never sees a password. The door remembers who is in, so that whoever loses the account while
//! connected can be shown out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytestring::ByteString;

use crate::broker::ConnectionId;
use crate::mqtt::{Connect, ReasonCode};
use crate::users::{StoredHash, Users, Verifier};

/// Who may come in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Admittance {
    /// Whether clients may come without a name.
    pub allow_anonymous: bool,
    /// The users with passwords; `None`: a name that a client gives means nothing.
    pub users: Option<Arc<Users>>,
}

/// The door of one listener, which outlives it: connections go on when a listener is closed.
#[derive(Debug)]
pub struct Door {
    verifier: Arc<Verifier>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    admittance: Admittance,
    inside: HashMap<ConnectionId, Login>,
}

/// As whom a connection was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Login {
    Anonymous,
    /// With the password that has this hash.
    User(Box<(ByteString, StoredHash)>),
    /// By a name that was proven before MQTT began.
    Certified,
}

/// A client that was let in.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its user; `None`: anonymous.
    pub(super) user: Option<ByteString>,
    login: Login,
}

impl Door {
    /// A door that lets these in.
    #[must_use]
    pub fn new(admittance: Admittance, verifier: Arc<Verifier>) -> Door {
        Door { verifier, state: Mutex::new(State { admittance, inside: HashMap::new() }) }
    }

    /// Whether any client has a password, or may have one by tomorrow.
    pub(super) fn knows_users(&self) -> bool {
        self.state().admittance.users.is_some()
    }

    /// Says who a client is. `certified`: the name that its certificate has proven. Takes as long as the checking of a
    /// password takes.
    ///
    /// # Errors
    /// Why it is not let in: Bad User Name or Password, Not authorized, or Server busy.
    pub(super) async fn enter(
        &self,
        connect: &Connect,
        certified: Option<ByteString>,
        address: Option<IpAddr>,
    ) -> Result<Entry, ReasonCode> {
        if let Some(user) = certified {
            return Ok(Entry { user: Some(user), login: Login::Certified });
        }
        let Admittance { allow_anonymous, users } = self.state().admittance.clone();
        let (Some(name), Some(users)) = (&connect.username, users) else {
            let anonymous = Entry { user: None, login: Login::Anonymous };
            return if allow_anonymous { Ok(anonymous) } else { Err(ReasonCode::NotAuthorized) };
        };
        let is_theirs = self
            .verifier
            .verify(&users, name, connect.password.clone(), address)
            .await
            .map_err(|_| ReasonCode::ServerBusy)?;
        match users.find(name).filter(|_| is_theirs) {
            Some(hash) => {
                // A copy of its own: the packet lies in a buffer that is much larger.
                let name = ByteString::from(&**name);
                Ok(Entry { user: Some(name.clone()), login: Login::User(Box::new((name, hash.clone()))) })
            }
            None => Err(ReasonCode::BadUserNameOrPassword),
        }
    }

    /// Remembers that a client is in, until it leaves. Called when the broker has been told of it, so that it can be
    /// shown out.
    ///
    /// # Errors
    /// It must leave at once, because of this: the admittance has changed while it came in.
    pub(super) fn stay(&self, connection: ConnectionId, entry: Entry) -> Result<(), ReasonCode> {
        let mut state = self.state();
        if let Some(reason) = state.admittance.refuses(&entry.login) {
            return Err(reason);
        }
        state.inside.insert(connection, entry.login);
        Ok(())
    }

    /// Forgets a client.
    pub(super) fn leave(&self, connection: ConnectionId) {
        self.state().inside.remove(&connection);
    }

    /// Lets others in from now on; those who are in and would not be let in any more, and what they are told.
    pub(super) fn change(&self, admittance: Admittance) -> Vec<(ConnectionId, ReasonCode)> {
        let mut state = self.state();
        state.admittance = admittance;
        let State { admittance, inside } = &*state;
        let leaves =
            |(connection, login): (&ConnectionId, &Login)| Some((*connection, admittance.refuses(login)?));
        inside.iter().filter_map(leaves).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Admittance {
    /// Why somebody who was let in would not be any more.
    fn refuses(&self, login: &Login) -> Option<ReasonCode> {
        match login {
            Login::Certified => None,
            Login::Anonymous => (!self.allow_anonymous).then_some(ReasonCode::NotAuthorized),
            Login::User(login) => {
                let (name, hash) = &**login;
                match self.users.as_ref().and_then(|users| users.find(name)) {
                    Some(now) if now == hash => None,
                    // The account is there: an administrator gave it another password.
                    Some(_) => Some(ReasonCode::AdministrativeAction),
                    None => Some(ReasonCode::NotAuthorized),
                }
            }
        }
    }
}
