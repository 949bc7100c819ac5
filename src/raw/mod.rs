//! The engine: the tree, its lists, and the memory they live in. Read this first, then `state` and `head`.
//!
//! ```text
//!          handles (Context, CancelGuard, CancelHandle)            handle (Done)
//!                 │ counted in the state word                        │ HELD
//!                 ▼                                                  ▼
//!            ┌─ node ──────────┐  list: newest ─► … ─► oldest   ┌─ waiter ─┐
//!            │ state  cause    │ ─────────┬──────────┬────────► │ state    │
//!            │ head  registered│          ▼          ▼          │ waker    │
//!            │ stripes links   │ ◄──── child      link ─────┐   └──────────┘
//!            └─────────────────┘ parent (node) (merge)      ▼
//!                 ▲ one registration an entry            target: a node of another parent
//! ```
//!
//! ```text
//!  core (one an engine) ◄──── node.core, kept by the root of the tree
//!  ┌────────────────────────────────────────────────────────────────┐
//!  │ nursery: stripes of slots ─── collect ──► wheel ──► due        │
//!  │     ▲ arm, disarm: one CAS                 ▲                   │
//!  │ next_wake ◄─► parker (the thread)          │ whoever has the turn
//!  └────────────────────────────────────────────────────────────────┘
//! ```
//!
//! # Rules
//!
//! Cited by number where the code stands on them. A SAFETY comment names one, or passes on what its function's own Safety
//! section asks of the caller; what was just made and nobody else has seen needs none.
//!
//! * **R1** A pin is given up by one RMW, its holder's last use of the address, as a comparand too.
//! * **R2** An undertaker touches the parent no more once its registration there is given back: in the CAS that takes the
//!   entry off the list, while the handles' own keeps the parent from ending; else as its very last step.
//! * **R3** `next` of an unlinked entry is never written: a walker on it must reach the live rest. What is unlinked is
//!   chained through `limbo`, which no walker reads.
//! * **R4** An entry is popped by one CAS only where its `next` is null.
//! * **R5** OWNED is taken only from a word with OWNED and CLOSED clear. Who lets go and finds CLOSED leaves what it
//!   unlinked to the node.
//! * **R6** Nothing here recurses. What a user nests in causes and wakers, their drops unnest.
//! * **R7** A walker enters a marked node unless it is PROPAGATED, which is set when all below it is marked.
//! * **R8** A count never goes from 0 to 1. Walkers work through pinned bytes.
//! * **R9** Code that is not ours never runs while a list is OWNED or a walk is marking, but for the allocator, where the
//!   stack of a walk that follows links grows; its panics are contained.
//! * **R10** Bytes are freed by the last pin to go: HELD, LISTED, ARMED, links. Only the undertaker unlinks and disarms.
//! * **R11** A flag that lets others skip a wake is never set before the wake was made. What lets an armer skip it,
//!   `next_wake`, is written by the sleeper alone; what lets a waker skip the system call, ASLEEP, is cleared by the
//!   sleeper alone.
//! * **R12** One CAS on the state word decides how a node ended, and says where the cause is. A walker marks a child
//!   with what the child's parent says.
//!
//! # The life of an entry
//!
//! *Live* → *done*, by whoever ends it (`walk`), by a cancel or by the turn its deadline came in; or never. *Ended*, when
//! its last handle and registration are gone: its undertaker buries it (`bury`). *Freed*, when its last pin is. Done and ended are independent: a done node with
//! handles stays listed, walkers pass it by, and it is not counted.
//!
//! What keeps what: a handle keeps its node; an entry's registration keeps its parent from ending, hence all its
//! ancestors and the core; a list pins the bytes of its entries, not the entries; a link pins the bytes of its target; the
//! nursery or the wheel pins those of what is armed, and a pile of the nursery those of what was dropped out of its slots.
//!
//! # Modules
//!
//! Each calls only those above it; what `core` has done above itself it is given by `engine` (`drive::Upper`).
//!
//! | module | owns |
//! |---|---|
//! | [`pool`] | magazines and depot of blocks |
//! | [`time`] | instants as one word |
//! | [`parker`] | where one thread sleeps |
//! | [`state`] | the state word: end, announcements, pins, handles |
//! | [`head`] | the head word of a list |
//! | [`site`] | where in the source a node was made |
//! | [`entry`] | the entry: parent, `next`, `back`, and private chains of entries |
//! | [`list`] | push, remove, hand over, close; the count of registrations |
//! | [`waker`] | the waker of a wait |
//! | [`slot`] | a node's cause and channel |
//! | [`stripes`] | a hot node's further lists |
//! | [`node`] | the records and their blocks |
//! | [`wheel`] | armed nodes by their deadlines |
//! | [`turn_word`] | who may use the wheel |
//! | [`dropped`] | what was dropped and is yet in the wheel |
//! | [`pile`] | a stack of timed nodes that counts |
//! | [`nursery`], `segment` | where deadlines are armed and disarmed; their slots |
//! | [`drive`] | who drives an engine's timers, and its clock |
//! | [`moves`] | whether deadlines are being moved to the wheel |
//! | [`core`] | the timers of an engine: nursery, wheel, turn, who is woken |
//! | [`bury`] | the end of entries and of bytes |
//! | [`tree`] | derive, release, look |
//! | [`walk`] | the cancel, and the end by a deadline |
//! | [`merge`] | nodes with several parents |
//! | [`callbacks`] | what `after_func` registers, and the dispatcher |
//! | [`waits`] | waiters, sleepers, channels, and telling them |
//! | [`turn`] | firing what is due |
//! | [`timers`] | nodes with a deadline, and the thread that serves them |
//! | [`engine`] | engines of one's own |
//! | [`values`] | values and their keys; it names none of the others |
//! | [`view`], [`handle`], [`waiting`] | the safe face of it all |
//! | [`batch`] | many children at once: more of `handle`'s methods, and what they do |
//!
//! Types are named upwards too: `entry`, `head`, `stripes`, `slot`, `core`, `nursery`, `wheel` and `node` name each other's in
//! pointers, for a record is one thing in several files; and `view` names what it borrows, a `Handle`. `local` holds what is one in the process: the global core and the queue of callbacks.

pub(crate) mod batch;
pub(crate) mod bury;
pub(crate) mod callbacks;
pub(crate) mod core;
#[forbid(unsafe_code)]
pub(crate) mod drive;
pub(crate) mod dropped;
pub(crate) mod engine;
pub(crate) mod entry;
pub(crate) mod handle;
#[forbid(unsafe_code)]
pub(crate) mod head;
pub(crate) mod list;
pub(crate) mod merge;
#[forbid(unsafe_code)]
pub(crate) mod moves;
pub(crate) mod node;
pub(crate) mod nursery;
#[forbid(unsafe_code)]
pub(crate) mod parker;
#[forbid(unsafe_code)]
pub(crate) mod pile;
pub(crate) mod pool;
mod segment;
#[forbid(unsafe_code)]
pub(crate) mod site;
pub(crate) mod slot;
#[forbid(unsafe_code)]
pub(crate) mod state;
pub(crate) mod stripes;
#[forbid(unsafe_code)]
pub(crate) mod time;
pub(crate) mod timers;
pub(crate) mod tree;
pub(crate) mod turn;
#[forbid(unsafe_code)]
pub(crate) mod turn_word;
pub(crate) mod values;
pub(crate) mod view;
pub(crate) mod waiting;
pub(crate) mod waits;
pub(crate) mod waker;
pub(crate) mod walk;
pub(crate) mod wheel;
