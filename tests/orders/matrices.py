"""Order state change matrices in a shorthand of ours, one step a line.

    > D X 10000            we send: D new, F cancel, G amend, H status request; ClOrdID, OrigClOrdID or -, quantity
    < X - F/1 10000 2000 8000 2000 id=C ref=B px=100 why=2     a report: ClOrdID, OrigClOrdID, ExecType/OrdStatus,
                           OrderQty, CumQty, LeavesQty, LastQty
    ! Y X 1 2              a cancel reject: ClOrdID, OrigClOrdID, OrdStatus, what it answers (1 cancel, 2 amend)
    ~                      a word on the telephone
    ? before a report      an either-or: the rows after it go on without it
    => 1/2000/8000         what must hold after the step, where that is not what the row says: status/executed/open
    fills=1000@120,9500@120    the executions that stand
    alarm=word             what a person must be told of

Where nothing is said after a report, its own OrdStatus, CumQty and LeavesQty must hold, and fills must add up to CumQty.
"""

REJECTED_AT_ONCE = "? < X - 8/8 10000 0 0 0"

MATRICES = f"""
A.1.a three executions fill it
> D X - 10000
{REJECTED_AT_ONCE}
< X - 0/0 10000 0 10000 0
< X - F/1 10000 2000 8000 2000
< X - F/1 10000 3000 7000 1000
< X - F/2 10000 10000 0 7000

A.1.b a day order, filled in part when the day ends
> D X - 10000
{REJECTED_AT_ONCE}
< X - 0/0 10000 0 10000 0
< X - F/1 10000 2000 8000 2000
< X - F/1 10000 3000 7000 1000
< X - 3/3 10000 3000 0 0

B.1.a cancelled before any execution
> D X - 10000
{REJECTED_AT_ONCE}
< X - 0/0 10000 0 10000 0
> F Y X 10000
? ! Y X 0 1
< Y X 6/6 10000 0 10000 0
? ! Y X 0 1
< Y X 4/4 10000 0 0 0

B.1.b executions while the cancellation is on its way and while it is worked on
> D X - 10000
{REJECTED_AT_ONCE}
< X - 0/0 10000 0 10000 0
< X - F/1 10000 2000 8000 2000
> F Y X 10000
< X - F/1 10000 5000 5000 3000
? ! Y X 1 1
< Y X 6/6 10000 5000 5000 0
< X - F/6 10000 6000 4000 1000
? ! Y X 1 1
< Y X 4/4 10000 6000 0 0

B.1.c filled before the cancellation could be taken
> D X - 10000
{REJECTED_AT_ONCE}
< X - 0/0 10000 0 10000 0
< X - F/1 10000 2000 8000 2000
> F Y X 10000
< X - F/1 10000 5000 5000 3000
? ! Y X 1 1
< Y X 6/6 10000 5000 5000 0
< X - F/6 10000 10000 0 5000
! Y X 2 1

B.1.d cancelled before it was acknowledged
> D X - 10000
> F Y X 10000
< Y X 6/6 10000 0 10000 0
< X - 0/6 10000 0 10000 0
< Y X 4/4 10000 0 0 0

B.1.e the acknowledgement and the cancellation cross
> D X - 10000
> F Y X 10000
< X - 0/0 10000 0 10000 0
< Y X 6/6 10000 0 10000 0
< Y X 4/4 10000 0 0 0

B.1.f a cancellation of what nobody knows
> F Y X 10000
! Y X 8 1 => 8/0/0 alarm=unknown-order

B.1.f' a cancellation of an order of ours that they do not know: no proof that it is dead
> D X - 10000
> F Y X 10000
! Y X 8 1 => A/0/10000 alarm=unknown-order
< X - 0/0 10000 0 10000 0

C.1.a enlarged before any execution
> D X - 10000
{REJECTED_AT_ONCE}
< X - 0/0 10000 0 10000 0
> G Y X 11000
? ! Y X 0 2
< Y X E/E 10000 0 10000 0
? ! Y X 0 2
< Y X 5/0 11000 0 11000 0
< Y - F/1 11000 1000 10000 1000
< Y - F/1 11000 3000 8000 2000

C.1.b enlarged, with an execution while that is worked on
> D X - 10000
{REJECTED_AT_ONCE}
< X - 0/0 10000 0 10000 0
< X - F/1 10000 1000 9000 1000
> G Y X 12000
? ! Y X 1 2
< Y X E/E 10000 1000 9000 0
< X - F/E 10000 1100 8900 100
? ! Y X 1 2
< Y X 5/1 12000 1100 10900 0
< Y - F/2 12000 12000 0 10900

C.1.c a filled order enlarged opens again
> D X - 10000
{REJECTED_AT_ONCE}
< X - 0/0 10000 0 10000 0
< X - F/2 10000 10000 0 10000
> G Y X 12000
? ! Y X 2 2
< Y X E/E 10000 10000 0 0
? ! Y X 2 2
< Y X 5/1 12000 10000 2000 0
< Y - F/2 12000 12000 0 2000

C.2.a a change of price comes too late
> D X - 10000
{REJECTED_AT_ONCE}
< X - 0/0 10000 0 10000 0
< X - F/1 10000 1000 9000 1000
> G Y X 10000
< X - F/2 10000 10000 0 9000
! Y X 2 2

C.3.a reduced, with executions before and while that is worked on
> D X - 10000
{REJECTED_AT_ONCE}
< X - 0/0 10000 0 10000 0
< X - F/1 10000 1000 9000 1000
> G Y X 8000
< X - F/1 10000 1500 8500 500
? ! Y X 1 2
< Y X E/E 10000 1500 8500 0
< X - F/E 10000 1600 8400 100
? ! Y X 1 2
< Y X 5/1 8000 1600 6400 0
< Y - F/2 8000 8000 0 6400

C.3.b reduced to just what is executed meanwhile
> D X - 10000
{REJECTED_AT_ONCE}
< X - 0/0 10000 0 10000 0
> G Y X 7000
< X - F/1 10000 7000 3000 7000
< Y X 5/2 7000 7000 0 0

C.3.c reduced below what is executed meanwhile: to what is executed
> D X - 10000
{REJECTED_AT_ONCE}
< X - 0/0 10000 0 10000 0
> G Y X 7000
< X - F/1 10000 8000 2000 8000
< Y X 5/2 8000 8000 0 0

C.3.c' the same by a broker that repeats the quantity asked for
> D X - 10000
< X - 0/0 10000 0 10000 0
> G Y X 7000
< X - F/1 10000 8000 2000 8000
< Y X 5/2 7000 8000 0 0

D.1.a two amendments, one after the other
> D X - 10000
{REJECTED_AT_ONCE}
< X - 0/0 10000 0 10000 0
< X - F/1 10000 1000 9000 1000
> G Y X 8000
< Y X E/E 10000 1000 9000 0
< X - F/E 10000 1500 8500 500
< Y X 5/1 8000 1500 6500 0
< Y - F/1 8000 3500 4500 2000
> G Z Y 6000
< Z Y E/E 8000 3500 4500 0
< Y - F/E 8000 4000 4000 500
< Z Y 5/1 6000 4000 2000 0
< Z - F/2 6000 6000 0 2000

D.1.b the first amendment refused at once, the second one taken
> D X - 10000
{REJECTED_AT_ONCE}
< X - 0/0 10000 0 10000 0
< X - F/1 10000 1000 9000 1000
> G Y X 8000
! Y X 1 2
< X - F/1 10000 1500 8500 500
< X - F/1 10000 3500 6500 2000
> G Z X 6000
< Z X E/E 10000 3500 6500 0
< Z X 5/1 6000 3500 2500 0
< Z - F/1 6000 5000 1000 1500

D.1.c the first amendment refused after it was pending
> D X - 10000
{REJECTED_AT_ONCE}
< X - 0/0 10000 0 10000 0
< X - F/1 10000 1000 9000 1000
> G Y X 8000
< Y X E/E 10000 1000 9000 0
< X - F/E 10000 1500 8500 500
! Y X 1 2
< X - F/1 10000 3500 6500 2000
> G Z X 6000
< Z X E/E 10000 3500 6500 0
< Z X 5/1 6000 3500 2500 0
< Z - F/1 6000 5000 1000 1500

D.2.a two amendments at once, done one by one
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - F/1 10000 1000 9000 1000
> G Y X 8000
> G Z Y 7000
< Y X E/E 10000 1000 9000 0
< Y X 5/1 8000 1000 7000 0
< Z Y E/E 8000 1000 7000 0
< Z Y 5/1 7000 1000 6000 0
< Z - F/2 7000 7000 0 6000

D.2.b both pending before either is done: the second one's pending report already counts from the first
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - F/1 10000 1000 9000 1000
> G Y X 8000
> G Z Y 7000
< Y X E/E 10000 1000 9000 0
< Z X E/E 8000 1000 7000 0
< Y X 5/E 8000 1000 7000 0
< Z Y 5/1 7000 1000 6000 0
< Z - F/2 7000 7000 0 6000

D.2.c two amendments at once, both refused
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - F/1 10000 1000 9000 1000
> G Y X 8000
> G Z Y 7000
! Y X 1 2
! Z X 1 2
< X - F/1 10000 3000 7000 2000

D.2.d the second amendment refused because the first is pending
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - F/1 10000 1000 9000 1000
> G Y X 8000
> G Z Y 7000
< Y X E/E 10000 1000 9000 0
! Z X E 2
< Y X 5/1 8000 1000 7000 0
< Y - F/1 8000 3000 5000 2000

E.1.a given by telephone: reports without any id of ours
~
< - - 0/0 10000 0 0 0 => 0/0/10000
< - - F/1 10000 2000 8000 2000
< - - F/1 10000 3000 7000 1000
< - - F/2 10000 10000 0 7000

E.1.b cancelled by the broker on a word
> D X - 10000
{REJECTED_AT_ONCE}
< X - 0/0 10000 0 10000 0
< X - F/1 10000 1000 9000 1000
~
< X - 4/4 10000 1000 0 0 why=2

E.1.c enlarged by the broker on a word, twice
> D X - 10000
{REJECTED_AT_ONCE}
< X - 0/0 10000 0 10000 0
~
< X - D/0 11000 0 11000 0 why=2
< X - F/1 11000 1000 10000 1000
~
< X - D/1 12000 1000 11000 0 why=2

E.1.d reduced by the sell side
> D X - 10000
{REJECTED_AT_ONCE}
< X - 0/0 10000 0 10000 0
< X - D/0 9000 0 9000 0 why=5
< X - F/2 9000 9000 0 9000

F.1.a a second order with the first one's id is refused; the first lives on
> D X - 10000
{REJECTED_AT_ONCE}
< X - 0/0 10000 0 10000 0
< X - F/1 10000 1000 9000 1000
> D X - 15000
< X - 8/1 10000 1000 9000 0 alarm=stray-reject
< X - F/1 10000 3000 7000 2000

F.1.b an order sent again is answered with its state; the same id with other terms is refused; an unseen one is taken
> D X - 10000
< X - 0/0 10000 0 10000 0
> D X - 10000
< X - I/0 10000 0 10000 -
> D X - 20000
< X - 8/0 10000 0 10000 - alarm=stray-reject
> D Y - 15000
< Y - 0/0 15000 0 15000 0

F.1.c refused because it was given by telephone before
~
< - - 0/0 10000 0 10000 0
> D X - 10000
< X - 8/8 10000 0 0 0
< - - F/1 10000 2000 8000 2000

G.1.a a question about an order nobody knows
> H X - -
< X - I/8 0 0 0 - alarm=unknown-order

G.1.b a question answered with "nothing done"
> D X - 10000
{REJECTED_AT_ONCE}
< X - 0/0 10000 0 10000 0
> H X - -
< X - I/0 10000 0 10000 -

G.1.c asked again and again during its life
> D X - 10000
> H X - -
< X - I/A 10000 0 10000 -
{REJECTED_AT_ONCE}
< X - 0/0 10000 0 10000 0
> H X - -
< X - I/0 10000 0 10000 -
< X - F/1 10000 2000 8000 2000
> H X - -
< X - I/1 10000 2000 8000 -
< X - F/2 10000 10000 0 8000
> H X - -
< X - I/2 10000 10000 0 -

H.1.a an order that outlives the day is restated next morning
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - F/1 10000 2000 8000 2000
< X - 3/3 10000 2000 8000 0
< X - D/1 10000 2000 8000 0 why=1
< X - F/1 10000 3000 7000 1000

H.1.a' the same without the restatement
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - F/1 10000 2000 8000 2000
< X - 3/3 10000 2000 8000 0
< X - F/1 10000 3000 7000 1000

H.1.b two shares for one over night: what was executed is restated as well
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - F/1 10000 2000 8000 2000
< X - 3/3 10000 2000 8000 0
< X - D/1 20000 4000 16000 0 why=0 fills=2000
< X - F/1 20000 9000 11000 5000 fills=2000,5000
< X - F/2 20000 20000 0 11000 fills=2000,5000,11000

H.1.c cancelled the day after
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - F/1 10000 2000 8000 2000
< X - 3/3 10000 2000 8000 0
< X - D/1 10000 2000 8000 0 why=1
> F Y X 10000
? ! Y X 1 1
< Y X 6/6 10000 2000 8000 0
? ! Y X 1 1
< Y X 4/4 10000 2000 0 0

H.1.d enlarged the day after
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - F/1 10000 2000 8000 2000
< X - 3/3 10000 2000 8000 0
< X - D/1 10000 2000 8000 0 why=1
> G Y X 15000
? ! Y X 1 2
< Y X E/E 10000 2000 8000 0
< X - F/E 10000 3000 7000 1000
? ! Y X 1 2
< Y X 5/1 15000 3000 12000 0

I.1.a fill or kill, killed
> D X - 10000
{REJECTED_AT_ONCE}
< X - 0/0 10000 0 10000 0
< X - 4/4 10000 0 0 0

I.1.b immediate or cancel, the rest killed
> D X - 10000
{REJECTED_AT_ONCE}
< X - 0/0 10000 0 10000 0
< X - F/1 10000 1000 9000 1000
< X - 4/4 10000 1000 0 0

J.1.a a bust, corrections, corrections of corrections, an enlargement, another correction
> D X - 10000
? < X - 8/8 10000 0 0 0 id=A
< X - 0/0 10000 0 10000 0 id=B
< X - F/1 10000 1000 9000 1000 id=C px=100
< X - F/2 10000 10000 0 9000 id=D px=110
< X - H/1 10000 9000 1000 0 id=E ref=C fills=9000@110
< X - G/1 10000 9000 1000 9000 id=F ref=D px=100 fills=9000@100
< X - F/2 10000 10000 0 1000 id=G px=120
< X - G/2 10000 10000 0 9000 id=H ref=F px=120 fills=1000@120,9000@120
> G Y X 12000
< Y X E/E 10000 10000 0 0 id=I
< Y X 5/1 12000 10000 2000 0 id=J
< Y - G/1 12000 10500 1500 9500 id=K ref=H px=120 fills=1000@120,9500@120

J.1.a' by a broker whose second correction names the execution as it was first told
> D X - 10000
< X - 0/0 10000 0 10000 0 id=B
< X - F/1 10000 9000 1000 9000 id=D px=110
< X - G/1 10000 9000 1000 9000 id=F ref=D px=100 fills=9000@100
< X - G/1 10000 9000 1000 9000 id=H ref=D px=120 fills=9000@120

J.1.b cancelled, then a bust, then another execution
> D X - 10000
< X - 0/0 10000 0 10000 0 id=A
< X - F/1 10000 5000 5000 5000 id=B px=50
> F Y X 10000
< Y X 6/6 10000 5000 5000 0 id=C
< Y X 4/4 10000 5000 0 0 id=D
< X - H/4 10000 0 0 0 id=E ref=B fills=
< X - F/4 10000 4000 0 4000 id=F px=51 fills=4000@51

J.1.b' the same reported under the cancellation's id
> D X - 10000
< X - 0/0 10000 0 10000 0 id=A
< X - F/1 10000 5000 5000 5000 id=B px=50
> F Y X 10000
< Y X 6/6 10000 5000 5000 0 id=C
< Y X 4/4 10000 5000 0 0 id=D
< Y - H/4 10000 0 0 0 id=E ref=B fills=
< Y - F/4 10000 4000 0 4000 id=F px=51 fills=4000@51

J.1.c quantities of yesterday's and today's executions corrected
> D X - 10000
< X - 0/0 10000 0 10000 0 id=A
< X - F/1 10000 2000 8000 2000 id=B
< X - 3/3 10000 2000 8000 0 id=C
< X - D/1 10000 2000 8000 0 id=D why=1
< X - F/1 10000 3000 7000 1000 id=E
< X - G/1 10000 2500 7500 1500 id=F ref=B fills=1000,1500
< X - G/1 10000 2000 8000 500 id=G ref=E fills=1500,500

K.1.a suspended by a trading halt, then taken up again
> D X - 10000
{REJECTED_AT_ONCE}
< X - 0/0 10000 0 10000 0
< X - F/1 10000 1000 9000 1000
< X - 9/9 10000 1000 9000 0
< X - D/1 10000 1000 9000 0 why=6
< X - F/1 10000 3000 7000 2000

K.1.a' taken up by a second acknowledgement
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - 9/9 10000 0 10000 0
< X - 0/0 10000 0 10000 0

K.1.b suspended, then cancelled because of the halt
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - 9/9 10000 0 10000 0
< X - 4/4 10000 0 0 0 why=6

L.1.a a guarantee is no execution, and stays while the report says so
> D X - 10000
{REJECTED_AT_ONCE}
< X - 0/0 10000 0 10000 0
< X - 7/7 10000 0 10000 1000 px=50.10
< X - F/7 10000 1000 9000 1000 px=50 fills=1000@50

L.1.b a guarantee used up
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - 7/7 10000 0 10000 1000 px=50.10
< X - F/1 10000 1000 9000 1000 px=50

L.1.c priced and billed after the close
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - F/2 10000 10000 0 10000
< X - B/B 10000 10000 0 0

X.01 another price, nothing executed
> D X - 10000
< X - 0/0 10000 0 10000 0
> G Y X 10000
< Y X E/E 10000 0 10000 0
< Y X 5/0 10000 0 10000 0

X.02 another price, executed in part
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - F/1 10000 3000 7000 3000
> G Y X 10000
< Y X 5/1 10000 3000 7000 0
< Y - F/2 10000 10000 0 7000

X.03 a reduction that becomes a partial cancellation
> D X - 10000
< X - 0/0 10000 0 10000 0
> G Y X 4000
< Y X 5/0 4000 0 4000 0
> F Z Y 4000
< Z Y 4/4 4000 0 0 0

X.04 an amendment and a cancellation at once; the amendment first
> D X - 10000
< X - 0/0 10000 0 10000 0
> G Y X 8000
> F Z Y 10000
< Y X E/E 10000 0 10000 0
< Z X 6/6 10000 0 10000 0
< Y X 5/6 8000 0 8000 0
< Z Y 4/4 8000 0 0 0

X.05 an amendment overtaken by a cancellation
> D X - 10000
< X - 0/0 10000 0 10000 0
> G Y X 8000
> F Z Y 10000
< Z X 4/4 10000 0 0 0
! Y X 4 2

X.06 refused by the exchange after the broker's acknowledgement
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - 8/8 10000 0 0 0

X.07 expired at the close
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - F/1 10000 1000 9000 1000
< X - C/C 10000 1000 0 0

X.08 an execution of the last second, reported after the end
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - C/C 10000 0 0 0
< X - F/C 10000 1000 0 1000

X.09 an execution that crossed the cancellation
> D X - 10000
< X - 0/0 10000 0 10000 0
> F Y X 10000
< Y X 4/4 10000 0 0 0
< X - F/4 10000 2000 0 2000

X.10 a filled order cancelled all the same stays filled
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - F/2 10000 10000 0 10000
< X - 4/2 10000 10000 0 0

X.11 a cancellation too late, without a pending phase
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - F/2 10000 10000 0 10000
> F Y X 10000
! Y X 2 1

X.12 late notices of receipt and of pending take nothing back
> D X - 10000
< X - F/1 10000 2000 8000 2000
< X - A/A 10000 0 10000 0 => 1/2000/8000
< X - F/2 10000 10000 0 8000
< X - 0/0 10000 0 10000 0 => 2/10000/0

X.13 an execution before the acknowledgement
> D X - 10000
< X - F/1 10000 2000 8000 2000 id=E2
< X - 0/0 10000 0 10000 0 id=E1 => 1/2000/8000

X.14 one execution told twice
> D X - 10000
< X - 0/0 10000 0 10000 0 id=E1
< X - F/1 10000 2000 8000 2000 id=E2
< X - F/1 10000 2000 8000 2000 id=E2 fills=2000

X.15 an execution lost on the way shows in the cumulative quantity
> D X - 10000
< X - 0/0 10000 0 10000 0 id=E1
< X - F/1 10000 5000 5000 1000 id=E3 fills=1000 alarm=unaccounted
< X - F/1 10000 4000 6000 4000 id=E2 => 1/5000/5000 fills=1000,4000

X.16 two executions alike in everything but what they add up to
> D X - 10000
< X - 0/0 10000 0 10000 0 id=0
< X - F/1 10000 100 9900 100 id=0 px=70000
< X - F/1 10000 200 9800 100 id=0 px=70000 fills=100@70000,100@70000
< X - F/1 10000 200 9800 100 id=0 px=70000 fills=100@70000,100@70000

X.17 a bust whose execution has no number
> D X - 10000
< X - 0/0 10000 0 10000 0 id=0
< X - F/1 10000 100 9900 100 id=0 px=70000
< X - F/1 10000 400 9600 300 id=0 px=70000
< X - H/1 10000 100 9900 0 id=0 fills=100@70000

X.18 a bust told twice, and its execution once more after it
> D X - 10000
< X - 0/0 10000 0 10000 0 id=E1
< X - F/1 10000 2000 8000 2000 id=E2
< X - H/0 10000 0 10000 0 id=E3 ref=E2 fills=
< X - H/0 10000 0 10000 0 id=E3 ref=E2 fills=
< X - F/1 10000 2000 8000 2000 id=E2 => 0/0/10000 fills=

X.19 a bust told again under another number, beside an execution of the like
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - F/1 10000 2000 8000 2000 id=A px=10
< X - F/1 10000 4000 6000 2000 id=B px=10
< X - H/1 10000 2000 8000 0 id=C ref=A fills=2000@10
< X - H/1 10000 2000 8000 0 id=D ref=A fills=2000@10
< X - H/0 10000 0 10000 0 id=E ref=B fills=

X.20 a correction and its bust, each told again under another number
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - F/1 10000 2000 8000 2000 id=A px=10
< X - F/1 10000 4000 6000 2000 id=B px=10
< X - G/1 10000 3500 6500 1500 id=C ref=A px=10 fills=1500@10,2000@10
< X - G/1 10000 3500 6500 1500 id=D ref=A px=10 fills=1500@10,2000@10
< X - H/1 10000 2000 8000 0 id=E ref=D fills=2000@10
< X - H/1 10000 2000 8000 0 id=F ref=D fills=2000@10

X.21 corrections that name the execution as it was first told, beside one of the like
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - F/1 10000 2000 8000 2000 id=A px=10
< X - F/1 10000 4000 6000 2000 id=B px=10
< X - G/1 10000 4000 6000 2000 id=C ref=A px=11 fills=2000@11,2000@10
< X - G/1 10000 4000 6000 2000 id=D ref=A px=12 fills=2000@12,2000@10
< X - G/1 10000 4000 6000 2000 id=E ref=A px=11 fills=2000@11,2000@10

X.22 a bust that names a corrected execution as it was first told, beside one of the like
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - F/1 10000 2000 8000 2000 id=A px=10
< X - F/1 10000 4000 6000 2000 id=B px=10
< X - G/1 10000 4100 5900 2100 id=C ref=A px=10 fills=2100@10,2000@10
< X - H/1 10000 2000 8000 0 id=D ref=A fills=2000@10

X.23 one execution told under two numbers, and busted by the second
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - F/1 10000 2000 8000 2000 id=A px=10
< X - F/1 10000 2000 8000 2000 id=B px=10 fills=2000@10
< X - F/1 10000 4000 6000 2000 id=D px=10 fills=2000@10,2000@10
< X - H/1 10000 2000 8000 0 id=C ref=B fills=2000@10
< X - H/0 10000 0 10000 0 id=E ref=D fills=

X.24 a number used again after its bust, and busted again
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - F/1 10000 2000 8000 2000 id=A px=10
< X - H/0 10000 0 10000 0 id=C ref=A fills=
< X - F/1 10000 2000 8000 2000 id=A px=11 fills=2000@11 alarm=exec-id-reused
< X - H/0 10000 0 10000 0 id=D ref=A fills=
"""
