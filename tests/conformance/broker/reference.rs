//! What a broker is, said as simply as possible: lists of people, of what they want and of what they are owed. Slow,
//! without a disk, without a packet; it knows at every moment what each client must have heard.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tidegate::mqtt::{TopicFilter, TopicName};

/// Seconds that a session of 5.0 outlives its connection here; one of 3.1.1 does so for ever.
pub const EXPIRY: u64 = 60;

#[derive(Debug, Clone)]
pub struct Message {
    pub topic: &'static str,
    pub qos: u8,
    pub retain: bool,
    pub payload: String,
}

#[derive(Debug, Clone, Copy)]
pub struct Wish {
    pub qos: u8,
    pub identifier: Option<u32>,
    pub no_local: bool,
    pub as_published: bool,
}

/// A message on its way to one client, as it is said there.
#[derive(Debug, Clone)]
pub struct Owed {
    pub qos: u8,
    pub line: String,
    /// The identifier that the broker chose.
    pub identifier: Option<u16>,
    pub is_released: bool,
}

#[derive(Debug, Default)]
pub struct Session {
    pub is_lasting: bool,
    gone_at: Option<u64>,
    wishes: BTreeMap<&'static str, Wish>,
    waiting: VecDeque<Owed>,
    pub open: Vec<Owed>,
    pub received: BTreeSet<u16>,
}

pub struct Person {
    pub is_v5: bool,
    pub window: usize,
    pub is_here: bool,
    pub session: Option<Session>,
    pub will: Option<Message>,
    /// What must have been heard since the last look: at QoS 0, at QoS 1 and 2, and PUBRELs.
    pub heard_0: Vec<String>,
    pub heard_n: Vec<Owed>,
    pub releases: Vec<u16>,
}

#[derive(Default)]
pub struct Reference {
    pub people: Vec<Person>,
    retained: BTreeMap<&'static str, Message>,
    now: u64,
}

impl Reference {
    pub fn add(&mut self, is_v5: bool, window: usize) {
        self.people.push(Person {
            is_v5,
            window,
            is_here: false,
            session: None,
            will: None,
            heard_0: Vec::new(),
            heard_n: Vec::new(),
            releases: Vec::new(),
        });
    }

    /// Whether a session was there.
    pub fn connect(&mut self, who: usize, is_clean: bool, is_lasting: bool, will: Option<Message>) -> bool {
        if self.people[who].is_here {
            self.leave(who, true);
        }
        let person = &mut self.people[who];
        if is_clean {
            person.session = None;
        }
        let was_there = person.session.is_some();
        let session = person.session.get_or_insert_default();
        session.is_lasting = is_lasting;
        session.gone_at = None;
        person.is_here = true;
        person.will = will;
        for owed in &session.open {
            if owed.is_released {
                person.releases.push(owed.identifier.expect("it was answered"));
            } else {
                person.heard_n.push(Owed { line: format!("dup {}", owed.line), ..owed.clone() });
            }
        }
        person.fill();
        was_there
    }

    /// The connection ends.
    pub fn leave(&mut self, who: usize, with_will: bool) {
        let now = self.now;
        let person = &mut self.people[who];
        person.is_here = false;
        let will = person.will.take().filter(|_| with_will);
        match &mut person.session {
            Some(session) if session.is_lasting => session.gone_at = Some(now),
            _ => person.session = None,
        }
        if let Some(will) = will {
            self.publish(who, &will);
        }
    }

    pub fn subscribe(&mut self, who: usize, filter: &'static str, wish: Wish, retain_handling: u8) {
        let retained: Vec<Message> = self.retained.values().cloned().collect();
        let person = &mut self.people[who];
        let session = person.session.as_mut().expect("who subscribes is here");
        let is_new = session.wishes.insert(filter, wish).is_none();
        if retain_handling == 2 || retain_handling == 1 && !is_new {
            return;
        }
        for message in retained.iter().filter(|message| matches(filter, message.topic)) {
            let identifiers = wish.identifier.into_iter().collect();
            person.owe(message, message.qos.min(wish.qos), true, &identifiers);
        }
    }

    /// Whether there was such a subscription.
    pub fn unsubscribe(&mut self, who: usize, filter: &'static str) -> bool {
        self.people[who].session.as_mut().is_some_and(|session| session.wishes.remove(filter).is_some())
    }

    /// Whether anybody wanted it.
    pub fn publish(&mut self, from: usize, message: &Message) -> bool {
        if message.retain {
            if message.payload.is_empty() {
                self.retained.remove(message.topic);
            } else {
                self.retained.insert(message.topic, message.clone());
            }
        }
        let mut is_wanted = false;
        for (who, person) in self.people.iter_mut().enumerate() {
            let Some(session) = &person.session else { continue };
            let wishes = session
                .wishes
                .iter()
                .filter(|(filter, wish)| matches(filter, message.topic) && !(wish.no_local && who == from));
            let wishes: Vec<Wish> = wishes.map(|(_, wish)| *wish).collect();
            let Some(qos) = wishes.iter().map(|wish| wish.qos).max() else { continue };
            is_wanted = true;
            let retain = message.retain && wishes.iter().any(|wish| wish.as_published);
            let identifiers = wishes.iter().filter_map(|wish| wish.identifier).collect();
            person.owe(message, qos.min(message.qos), retain, &identifiers);
        }
        is_wanted
    }

    pub fn wait(&mut self, seconds: u64) {
        self.now += seconds;
        for person in &mut self.people {
            let is_v5 = person.is_v5;
            let is_over = |session: &Session| {
                is_v5 && session.gone_at.is_some_and(|gone_at| gone_at + EXPIRY <= self.now)
            };
            if person.session.as_ref().is_some_and(is_over) {
                person.session = None;
            }
        }
    }
}

impl Person {
    fn owe(&mut self, message: &Message, qos: u8, retain: bool, identifiers: &BTreeSet<u32>) {
        let mut line = format!("{} q{qos}", message.topic);
        if retain {
            line.push_str(" retain");
        }
        if self.is_v5 {
            identifiers.iter().for_each(|identifier| line.push_str(&format!(" sub={identifier}")));
        }
        line.push_str(&format!(" {}", message.payload));
        if qos == 0 {
            if self.is_here {
                self.heard_0.push(line);
            }
            return;
        }
        let session = self.session.as_mut().expect("only who has a session is owed something");
        session.waiting.push_back(Owed { qos, line, identifier: None, is_released: false });
        self.fill();
    }

    /// Sends what waits as far as the window goes.
    fn fill(&mut self) {
        let Some(session) = self.session.as_mut().filter(|_| self.is_here) else { return };
        while session.open.len() < self.window
            && let Some(next) = session.waiting.pop_front()
        {
            self.heard_n.push(next.clone());
            session.open.push(next);
        }
    }

    /// The client answers one of the open messages for good, or refuses it.
    pub fn done(&mut self, place: usize) {
        self.session.as_mut().expect("it has something open").open.remove(place);
        self.fill();
    }

    /// The client has received a QoS 2 message.
    pub fn received(&mut self, place: usize) {
        let owed = &mut self.session.as_mut().expect("it has something open").open[place];
        owed.is_released = true;
        self.releases.push(owed.identifier.expect("it was heard"));
    }
}

fn matches(filter: &str, topic: &str) -> bool {
    // Tested by itself, example by example.
    TopicFilter::parse(filter).unwrap().matches(&TopicName::parse(topic).unwrap())
}
