//! Reason codes of MQTT 5.0 (section 2.4), and the return codes of 3.1.1 that stand for them.

use super::fixed_header::Sender;
use super::{DecodeError, PacketType};

macro_rules! reason_codes {
    ($($(#[$meta:meta])* $name:ident = $value:literal,)*) => {
        /// Why something succeeded or failed. Names and numbers are those of MQTT 5.0, section 2.4.
        ///
        /// `Success` also stands for "normal disconnection" and "granted QoS 0".
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[allow(missing_docs, reason = "the names are the standard's own")]
        pub enum ReasonCode { $($(#[$meta])* $name = $value,)* }

        impl ReasonCode {
            /// The code with this number, if the standard knows it.
            #[must_use]
            pub const fn from_u8(number: u8) -> Option<ReasonCode> {
                match number { $($value => Some(ReasonCode::$name),)* _ => None }
            }

            /// The number on the wire.
            #[must_use]
            pub const fn as_u8(self) -> u8 {
                match self { $(ReasonCode::$name => $value,)* }
            }
        }
    };
}

reason_codes! {
    Success = 0x00,
    GrantedQoS1 = 0x01,
    GrantedQoS2 = 0x02,
    DisconnectWithWillMessage = 0x04,
    NoMatchingSubscribers = 0x10,
    NoSubscriptionExisted = 0x11,
    ContinueAuthentication = 0x18,
    ReAuthenticate = 0x19,
    UnspecifiedError = 0x80,
    MalformedPacket = 0x81,
    ProtocolError = 0x82,
    ImplementationSpecificError = 0x83,
    UnsupportedProtocolVersion = 0x84,
    ClientIdentifierNotValid = 0x85,
    BadUserNameOrPassword = 0x86,
    NotAuthorized = 0x87,
    ServerUnavailable = 0x88,
    ServerBusy = 0x89,
    Banned = 0x8A,
    ServerShuttingDown = 0x8B,
    BadAuthenticationMethod = 0x8C,
    KeepAliveTimeout = 0x8D,
    SessionTakenOver = 0x8E,
    TopicFilterInvalid = 0x8F,
    TopicNameInvalid = 0x90,
    PacketIdentifierInUse = 0x91,
    PacketIdentifierNotFound = 0x92,
    ReceiveMaximumExceeded = 0x93,
    TopicAliasInvalid = 0x94,
    PacketTooLarge = 0x95,
    MessageRateTooHigh = 0x96,
    QuotaExceeded = 0x97,
    AdministrativeAction = 0x98,
    PayloadFormatInvalid = 0x99,
    RetainNotSupported = 0x9A,
    QoSNotSupported = 0x9B,
    UseAnotherServer = 0x9C,
    ServerMoved = 0x9D,
    SharedSubscriptionsNotSupported = 0x9E,
    ConnectionRateExceeded = 0x9F,
    MaximumConnectTime = 0xA0,
    SubscriptionIdentifiersNotSupported = 0xA1,
    WildcardSubscriptionsNotSupported = 0xA2,
}

impl ReasonCode {
    /// Reads the code of a packet of 5.0.
    pub(super) fn read(code: u8, packet_type: PacketType, sender: Sender) -> Result<ReasonCode, DecodeError> {
        ReasonCode::from_u8(code)
            .filter(|reason| reason.fits(packet_type, sender))
            .ok_or_else(|| DecodeError::protocol(format!("reason code 0x{code:02X} does not belong here")))
    }

    /// Whether that side may put it into that packet of 5.0: the tables of sections 3.2 to 3.15.
    pub(super) fn fits(self, packet_type: PacketType, sender: Sender) -> bool {
        use ReasonCode as R;
        match packet_type {
            // [MQTT-3.2.2-8]
            PacketType::ConnAck => self.fits_connack(),
            // [MQTT-3.4.2-1] [MQTT-3.5.2-1]
            PacketType::PubAck | PacketType::PubRec => matches!(
                self,
                R::Success
                    | R::NoMatchingSubscribers
                    | R::UnspecifiedError
                    | R::ImplementationSpecificError
                    | R::NotAuthorized
                    | R::TopicNameInvalid
                    | R::PacketIdentifierInUse
                    | R::QuotaExceeded
                    | R::PayloadFormatInvalid
            ),
            // [MQTT-3.6.2-1] [MQTT-3.7.2-1]
            PacketType::PubRel | PacketType::PubComp => {
                matches!(self, R::Success | R::PacketIdentifierNotFound)
            }
            // [MQTT-3.9.3-2]
            PacketType::SubAck => self.fits_suback(),
            // [MQTT-3.11.3-2]
            PacketType::UnsubAck => matches!(
                self,
                R::Success
                    | R::NoSubscriptionExisted
                    | R::UnspecifiedError
                    | R::ImplementationSpecificError
                    | R::NotAuthorized
                    | R::TopicFilterInvalid
                    | R::PacketIdentifierInUse
            ),
            // [MQTT-3.14.2-1]
            PacketType::Disconnect => self.fits_disconnect(sender),
            // [MQTT-3.15.2-1]
            PacketType::Auth => match sender {
                Sender::Client => matches!(self, R::ContinueAuthentication | R::ReAuthenticate),
                Sender::Server => matches!(self, R::Success | R::ContinueAuthentication),
            },
            _ => false,
        }
    }

    fn fits_connack(self) -> bool {
        use ReasonCode as R;
        match self {
            R::Success
            | R::TopicNameInvalid
            | R::PacketTooLarge
            | R::QuotaExceeded
            | R::PayloadFormatInvalid
            | R::RetainNotSupported
            | R::QoSNotSupported
            | R::UseAnotherServer
            | R::ServerMoved
            | R::ConnectionRateExceeded
            | R::BadAuthenticationMethod => true,
            _ => (R::UnspecifiedError.as_u8()..=R::Banned.as_u8()).contains(&self.as_u8()),
        }
    }

    fn fits_suback(self) -> bool {
        use ReasonCode as R;
        matches!(
            self,
            R::Success
                | R::GrantedQoS1
                | R::GrantedQoS2
                | R::UnspecifiedError
                | R::ImplementationSpecificError
                | R::NotAuthorized
                | R::TopicFilterInvalid
                | R::PacketIdentifierInUse
                | R::QuotaExceeded
                | R::SharedSubscriptionsNotSupported
                | R::SubscriptionIdentifiersNotSupported
                | R::WildcardSubscriptionsNotSupported
        )
    }

    fn fits_disconnect(self, sender: Sender) -> bool {
        use ReasonCode as R;
        match self {
            R::DisconnectWithWillMessage => sender == Sender::Client,
            R::Success
            | R::UnspecifiedError
            | R::MalformedPacket
            | R::ProtocolError
            | R::ImplementationSpecificError
            | R::TopicNameInvalid => true,
            R::NotAuthorized
            | R::ServerBusy
            | R::ServerShuttingDown
            | R::KeepAliveTimeout
            | R::SessionTakenOver
            | R::TopicFilterInvalid => sender == Sender::Server,
            _ => match self.as_u8() {
                0x93..=0x99 => true,
                0x9A..=0xA2 => sender == Sender::Server,
                _ => false,
            },
        }
    }

    /// The return code that stands for it in a CONNACK of 3.1 and 3.1.1 (table 3.1 of 3.1.1).
    #[must_use]
    pub const fn as_connect_return_code(self) -> u8 {
        use ReasonCode as R;
        match self {
            R::UnsupportedProtocolVersion => 1,
            R::ClientIdentifierNotValid => 2,
            R::BadUserNameOrPassword | R::BadAuthenticationMethod => 4,
            R::NotAuthorized | R::Banned => 5,
            other if other.is_error() => 3,
            _ => 0,
        }
    }

    /// The reason that a return code of a CONNACK of 3.1 and 3.1.1 stands for.
    #[must_use]
    pub const fn from_connect_return_code(code: u8) -> Option<ReasonCode> {
        match code {
            0 => Some(ReasonCode::Success),
            1 => Some(ReasonCode::UnsupportedProtocolVersion),
            2 => Some(ReasonCode::ClientIdentifierNotValid),
            3 => Some(ReasonCode::ServerUnavailable),
            4 => Some(ReasonCode::BadUserNameOrPassword),
            5 => Some(ReasonCode::NotAuthorized),
            _ => None,
        }
    }

    /// The return code that stands for it in a SUBACK of 3.1 and 3.1.1: the granted QoS, or 0x80.
    #[must_use]
    pub const fn as_subscribe_return_code(self) -> u8 {
        match self {
            ReasonCode::Success | ReasonCode::GrantedQoS1 | ReasonCode::GrantedQoS2 => self.as_u8(),
            _ => 0x80,
        }
    }

    /// The reason that a return code of a SUBACK of 3.1 and 3.1.1 stands for `[MQTT-3.9.3-2]`.
    #[must_use]
    pub const fn from_subscribe_return_code(code: u8) -> Option<ReasonCode> {
        match code {
            0 => Some(ReasonCode::Success),
            1 => Some(ReasonCode::GrantedQoS1),
            2 => Some(ReasonCode::GrantedQoS2),
            0x80 => Some(ReasonCode::UnspecifiedError),
            _ => None,
        }
    }

    /// Whether it tells of a failure (0x80 and above).
    #[must_use]
    pub const fn is_error(self) -> bool {
        self.as_u8() >= 0x80
    }
}
