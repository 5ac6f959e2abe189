"""Further matrices in the shorthand of `matrices`: what crosses, repeats, contradicts or comes late along an order's life.

Made from the rules of the standard, not printed in it.
"""

FURTHER = """
Y.01 an order by amount: the quantity is told with the acknowledgement
> D X - -
? < X - 8/8 0 0 0 0
< X - 0/0 200 0 200 0
< X - F/1 200 50 150 50
< X - F/2 200 200 0 150

Y.02 the older status of a replaced order is that of an open one
> D X - 10000
< X - 0/0 10000 0 10000 0
> G Y X 11000
< Y X E/E 10000 0 10000 0
< Y X 5/5 11000 0 11000 0 => 0/0/11000
< Y - F/1 11000 1000 10000 1000
> G Z Y 9000
< Z Y 5/5 9000 1000 8000 0 => 1/1000/8000
> F W Z 9000
< W Z 6/6 9000 1000 8000 0
< Z - F/6 9000 2000 7000 1000
< W Z 4/4 9000 2000 0 0

Y.03 pending, executed and acknowledged in the wrong order, and the cancellation refused
> D X - 10000
< X - A/A 10000 0 10000 0
> F Y X 10000
< Y X 6/6 10000 0 10000 0
< X - F/6 10000 300 9700 300
< X - 0/6 10000 300 9700 0
! Y X 1 1
< X - F/1 10000 400 9600 100

Y.04 a refusal overtakes the execution it speaks of
> D X - 10000
< X - 0/0 10000 0 10000 0
> F Y X 10000
< Y X 6/6 10000 0 10000 0
! Y X 2 1 => 0/0/10000
< X - F/2 10000 10000 0 10000

Y.05 a second cancellation while the first is worked on
> D X - 10000
< X - 0/0 10000 0 10000 0
> F Y X 10000
< Y X 6/6 10000 0 10000 0
> F Z X 10000
! Z X 6 1
< Y X 4/4 10000 0 0 0
! Z X 4 1

Y.06 a cancellation refused, the next one taken
> D X - 10000
< X - 0/0 10000 0 10000 0
> F Y X 10000
< Y X 6/6 10000 0 10000 0
! Y X 0 1
> F Z X 10000
< Z X 6/6 10000 0 10000 0
< X - F/6 10000 500 9500 500
< Z X 4/4 10000 500 0 0

Y.07 a chain of four with a refusal in its middle, executions under former ids
> D X - 10000
< X - 0/0 10000 0 10000 0
> G A X 9000
< A X E/E 10000 0 10000 0
< A X 5/0 9000 0 9000 0
> G B A 8000
< B A E/E 9000 0 9000 0
< A - F/E 9000 1000 8000 1000
! B A 1 2
> G C A 7000
< C A E/E 9000 1000 8000 0
< C A 5/1 7000 1000 6000 0
< A - F/1 9000 2000 7000 1000 => 1/2000/5000
< C - F/1 7000 3000 4000 1000
> F D C 7000
< D C 6/6 7000 3000 4000 0
< D C 4/4 7000 3000 0 0

Y.08 confirmations without the former id
> D X - 10000
< X - 0/0 10000 0 10000 0
> G Y X 8000
< Y - E/E 10000 0 10000 0
< Y - 5/0 8000 0 8000 0
> F Z Y 8000
< Z - 6/6 8000 0 8000 0
< Z - 4/4 8000 0 0 0

Y.09 a refusal without the former id
> D X - 10000
< X - 0/0 10000 0 10000 0
> G Y X 8000
< Y - E/E 10000 0 10000 0
! Y - 0 2

Y.10 a cancellation tells of an execution that was lost
> D X - 10000
< X - 0/0 10000 0 10000 0
> F Y X 10000
< Y X 4/4 10000 3000 0 0 alarm=unaccounted fills=
< X - F/4 10000 3000 0 3000 fills=3000

Y.11 an expiry tells of an execution that was lost, which is busted after all
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - C/C 10000 3000 0 0 alarm=unaccounted fills=
< X - F/C 10000 3000 0 3000 fills=3000
< X - H/C 10000 0 0 0 ref=row-4 fills=

Y.12 a bust after the expiry
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - F/1 10000 3000 7000 3000 id=A px=10
< X - C/C 10000 3000 0 0
< X - H/C 10000 0 0 0 id=B ref=A fills=

Y.13 a bust opens a filled order
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - F/1 10000 6000 4000 6000 id=A px=10
< X - F/2 10000 10000 0 4000 id=B px=11
< X - H/1 10000 6000 4000 0 id=C ref=B fills=6000@10
< X - F/2 10000 10000 0 4000 id=D px=11 fills=6000@10,4000@11
> F Y X 10000
! Y X 2 1

Y.14 a bust of everything
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - F/2 10000 10000 0 10000 id=B px=11
< X - H/0 10000 0 10000 0 id=C ref=B fills=
< X - F/2 10000 10000 0 10000 id=D px=11 fills=10000@11

Y.15 a bust after the day was done
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - F/1 10000 6000 4000 6000 id=A px=10
< X - 3/3 10000 6000 0 0
< X - H/3 10000 0 0 0 id=C ref=A fills=

Y.16 a correction after the day was done
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - F/2 10000 10000 0 10000 id=A px=10
< X - 3/3 10000 10000 0 0
< X - G/3 10000 9000 0 9000 id=C ref=A px=10 fills=9000@10

Y.17 a bust while a cancellation is pending
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - F/1 10000 6000 4000 6000 id=A px=10
> F Y X 10000
< Y X 6/6 10000 6000 4000 0
< X - H/6 10000 0 10000 0 id=C ref=A fills=
< Y X 4/4 10000 0 0 0

Y.18 a bust while an amendment is pending
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - F/1 10000 6000 4000 6000 id=A px=10
> G Y X 8000
< Y X E/E 10000 6000 4000 0
< X - H/E 10000 0 10000 0 id=C ref=A fills=
< Y X 5/0 8000 0 8000 0

Y.19 busts under the new id and under the former one
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - F/1 10000 2000 8000 2000 id=A px=10
< X - F/1 10000 5000 5000 3000 id=B px=10
> G Y X 8000
< Y X 5/1 8000 5000 3000 0
< Y - H/1 8000 3000 5000 0 id=C ref=A fills=3000@10
< X - H/0 8000 0 8000 0 id=D ref=B fills=

Y.20 a bust with the quantities of the former version
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - F/1 10000 2000 8000 2000 id=A px=10
> G Y X 8000
< Y X 5/1 8000 2000 6000 0
< X - H/0 10000 0 10000 0 id=D ref=A fills= => 0/0/8000

Y.21 a correction completes the order, the next one opens it
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - F/1 10000 9000 1000 9000 id=A px=10
< X - G/2 10000 10000 0 10000 id=B ref=A px=10 fills=10000@10
< X - G/1 10000 4000 6000 4000 id=C ref=B px=11 fills=4000@11
< X - H/0 10000 0 10000 0 id=D ref=C fills=

Y.22 a correction to nothing
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - F/1 10000 9000 1000 9000 id=A px=10
< X - G/0 10000 0 10000 0 id=B ref=A px=10 fills=

Y.23 corrections and an execution after the cancellation
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - F/1 10000 5000 5000 5000 id=A px=10
> F Y X 10000
< Y X 4/4 10000 5000 0 0
< X - G/4 10000 6000 0 6000 id=C ref=A px=10 fills=6000@10
< X - G/4 10000 2000 0 2000 id=D ref=C px=10 fills=2000@10
< X - F/4 10000 2500 0 500 id=E px=12 fills=2000@10,500@12

Y.24 a correction completes a cancelled order
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - F/1 10000 9000 1000 9000 id=A px=10
> F Y X 10000
< Y X 4/4 10000 9000 0 0
< X - G/2 10000 10000 0 10000 id=C ref=A px=10 fills=10000@10
< X - H/4 10000 0 0 0 id=D ref=C fills=

Y.25 restated below what is executed
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - F/1 10000 4000 6000 4000
< X - D/2 3000 4000 0 0 why=5

Y.26 restated to what is executed
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - F/1 10000 4000 6000 4000
< X - D/2 4000 4000 0 0 why=5

Y.27 repriced by the broker
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - F/1 10000 4000 6000 4000
< X - D/1 10000 4000 6000 0 why=3
< X - F/2 10000 10000 0 6000

Y.28 restated while an amendment is pending, and after it
> D X - 10000
< X - 0/0 10000 0 10000 0
> G Y X 8000
< Y X E/E 10000 0 10000 0
< X - D/E 9500 0 9500 0 why=5
< Y X 5/0 8000 0 8000 0
< Y - D/0 7500 0 7500 0 why=5
< Y - F/2 7500 7500 0 7500

Y.29 restated while a cancellation is pending, which is refused
> D X - 10000
< X - 0/0 10000 0 10000 0
> F Y X 10000
< Y X 6/6 10000 0 10000 0
< X - D/6 9000 0 9000 0 why=5
! Y X 0 1
< X - F/2 9000 9000 0 9000

Y.30 executions while suspended and after the cancellation
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - 9/9 10000 0 10000 0
< X - F/9 10000 1000 9000 1000
< X - 4/4 10000 1000 0 0 why=6
< X - F/4 10000 2000 0 1000

Y.31 a cancellation of a suspended order refused, the next one taken
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - 9/9 10000 0 10000 0
> F Y X 10000
< Y X 6/6 10000 0 10000 0
! Y X 9 1
> F Z X 10000
< Z X 6/6 10000 0 10000 0
< Z X 4/4 10000 0 0 0

Y.32 amended while suspended
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - 9/9 10000 0 10000 0
> G Y X 8000
< Y X E/E 10000 0 10000 0
< Y X 5/9 8000 0 8000 0
< Y - D/0 8000 0 8000 0 why=6
< Y - F/2 8000 8000 0 8000

Y.33 filled while suspended
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - 9/9 10000 0 10000 0
< X - F/2 10000 10000 0 10000

Y.34 expired while suspended
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - F/1 10000 500 9500 500
< X - 9/9 10000 500 9500 0
< X - C/C 10000 500 0 0

Y.35 a guarantee for part, an execution of all
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - 7/7 10000 0 10000 1000 px=50
< X - F/2 10000 10000 0 10000 px=50

Y.36 a guaranteed order cancelled
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - 7/7 10000 0 10000 1000 px=50
> F Y X 10000
< Y X 6/6 10000 0 10000 0
? ! Y X 7 1
< Y X 4/4 10000 0 0 0

Y.37 a guaranteed order amended
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - 7/7 10000 0 10000 1000 px=50
> G Y X 9000
< Y X E/E 10000 0 10000 0
< Y X 5/7 9000 0 9000 0
< Y - F/7 9000 500 8500 500
< Y - F/1 9000 1000 8000 500

Y.38 suspended with a guarantee, taken up without
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - 7/7 10000 0 10000 1000 px=50
< X - 9/7 10000 0 10000 0
< X - D/0 10000 0 10000 0

Y.39 done for the day, billed, and busted
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - F/1 10000 3000 7000 3000
< X - 3/3 10000 3000 0 0
< X - B/3 10000 3000 0 0
< X - H/3 10000 0 0 0 ref=row-3 fills=

Y.40 billed in part and corrected
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - F/1 10000 3000 7000 3000 id=A px=10
< X - B/B 10000 3000 0 0
< X - G/B 10000 3500 0 3500 id=B ref=A px=10

Y.41 asked for its state all along its life
> D X - 10000
> H X - -
< X - I/A 10000 0 10000 0
< X - 0/0 10000 0 10000 0
> F Y X 10000
< Y X 6/6 10000 0 10000 0
> H X - -
< X - I/6 10000 0 10000 0
! Y X 0 1
> G Z X 9000
< Z X E/E 10000 0 10000 0
> H X - -
< X - I/E 10000 0 10000 0
< Z X 5/0 9000 0 9000 0
> H Z - -
< Z - I/0 9000 0 9000 0
< Z - 9/9 9000 0 9000 0
< Z - I/9 9000 0 9000 0
< Z - D/0 9000 0 9000 0
< Z - I/0 9000 0 9000 0
< Z - F/1 9000 3000 6000 3000
< Z - C/C 9000 3000 0 0
< Z - I/C 9000 3000 0 0

Y.42 an answer tells of an execution and of a cancellation that were lost
> D X - 10000
< X - 0/0 10000 0 10000 0
> H X - -
< X - I/1 10000 2000 8000 - alarm=unaccounted fills=
< X - F/1 10000 2000 8000 2000 fills=2000
> H X - -
< X - I/4 10000 2000 0 -
< X - 4/4 10000 2000 0 0

Y.43 an answer tells that it is filled
> D X - 10000
< X - I/2 10000 10000 0 - alarm=unaccounted fills=
< X - F/2 10000 10000 0 10000

Y.44 an answer that they do not know it
> D X - 10000
< X - 0/0 10000 0 10000 0
> H X - -
< X - I/8 10000 0 0 - => 0/0/10000 alarm=unknown-order

Y.45 an answer from before an execution
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - F/1 10000 2000 8000 2000
< X - I/0 10000 0 10000 - => 1/2000/8000

Y.46 a cancellation that arrived twice: the repetition is refused, the first one taken
> D X - 10000
< X - 0/0 10000 0 10000 0
> F Y X 10000
< Y X 6/6 10000 0 10000 0
> F Y X 10000
! Y X 6 1 why=6 alarm=stray-reject
< Y X 4/4 10000 0 0 0

Y.47 an amendment that arrived twice, refused before and after it is in force
> D X - 10000
< X - 0/0 10000 0 10000 0
> G Y X 8000
< Y X E/E 10000 0 10000 0
> G Y X 8000
! Y X E 2 why=6 alarm=stray-reject
< Y X 5/0 8000 0 8000 0
! Y X 0 2 why=6 alarm=stray-reject
> G Z Y 7000
< Z Y 5/0 7000 0 7000 0

Y.48 another message under the id of an amendment in force
> D X - 10000
< X - 0/0 10000 0 10000 0
> G Y X 8000
< Y X 5/0 8000 0 8000 0
> D Y - 8000
< Y - 8/0 8000 0 8000 0 alarm=stray-reject
< Y - F/1 8000 1000 7000 1000

Y.49 an amendment confirmed and then refused leaves the former terms
> D X - 10000
< X - 0/0 10000 0 10000 0
> G Y X 8000
< Y X 5/0 8000 0 8000 0
! Y X 0 2
< X - F/1 10000 1000 9000 1000

Y.50 an amendment refused and then confirmed
> D X - 10000
< X - 0/0 10000 0 10000 0
> G Y X 8000
! Y X 0 2
< Y X 5/0 8000 0 8000 0
< Y - F/2 8000 8000 0 8000

Y.51 a refusal after an execution at the amended terms
> D X - 10000
< X - 0/0 10000 0 10000 0
> G Y X 8000
< Y X 5/0 8000 0 8000 0
< Y - F/2 8000 8000 0 8000
! Y X 2 2

Y.52 an amendment refused by a report
> D X - 10000
< X - 0/0 10000 0 10000 0
> G Y X 8000
< Y - 8/0 8000 0 10000 0
< X - F/1 10000 1000 9000 1000

Y.53 filled under the former id after the reduction
> D X - 10000
< X - 0/0 10000 0 10000 0
> G Y X 8000
< Y X 5/0 8000 0 8000 0
< X - F/1 10000 8000 2000 8000 => 2/8000/0

Y.54 an execution under the new id before its confirmation
> D X - 10000
< X - 0/0 10000 0 10000 0
> G Y X 8000
< Y X E/E 10000 0 10000 0
< Y - F/1 8000 1000 7000 1000
< Y X 5/1 8000 1000 7000 0

Y.55 confirmations before their pending reports
> D X - 10000
< X - 0/0 10000 0 10000 0
> G Y X 8000
< Y X 5/0 8000 0 8000 0
< Y X E/E 10000 0 10000 0 => 0/0/8000
> F Z Y 8000
< Z Y 4/4 8000 0 0 0
< Z Y 6/6 8000 0 8000 0 => 4/0/0

Y.56 one number for two executions
> D X - 10000
< X - 0/0 10000 0 10000 0 id=A
< X - F/1 10000 1000 9000 1000 id=B px=10
< X - F/1 10000 3000 7000 2000 id=B px=10 fills=1000@10,2000@10 alarm=exec-id-reused

Y.57 an execution whose quantity is left out
> D X - 10000
< X - 0/0 10000 0 10000 0 id=A
< X - F/1 10000 1000 9000 0 id=B px=10 fills= alarm=unaccounted

Y.58 filled at once, acknowledged later
> D X - 10000
< X - F/2 10000 10000 0 10000
< X - 0/0 10000 0 10000 0 => 2/10000/0

Y.59 two days, then expired
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - F/1 10000 2000 8000 2000
< X - 3/3 10000 2000 8000 0
< X - D/1 10000 2000 8000 0 why=1
< X - F/1 10000 3000 7000 1000
< X - 3/3 10000 3000 7000 0
< X - D/1 10000 3000 7000 0 why=1
< X - C/C 10000 3000 0 0

Y.60 taken up the next day by an acknowledgement, one execution lost
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - 3/3 10000 0 10000 0
< X - 0/0 10000 0 10000 0
< X - F/1 10000 3000 7000 1000 alarm=unaccounted

Y.61 a cancellation refused after the day, the next one taken
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - F/1 10000 2000 8000 2000
< X - 3/3 10000 2000 8000 0
> F Y X 10000
< Y X 6/6 10000 2000 8000 0
! Y X 3 1
> F Z X 10000
< Z X 4/4 10000 2000 0 0

Y.62 refused after its receipt
> D X - 10000
< X - A/A 10000 0 10000 0
< X - 8/8 10000 0 0 0
> F Y X 10000
! Y X 8 1 alarm=unknown-order

Y.63 the day done while an amendment is pending
> D X - 10000
< X - 0/0 10000 0 10000 0
> G Y X 9000
< Y X E/E 10000 0 10000 0
< X - 3/E 10000 0 0 0
! Y X 3 2

Y.64 reduced below what is executed, then a bust
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - F/1 10000 1000 9000 1000
> G Y X 3000
< Y X E/E 10000 1000 9000 0
< X - F/E 10000 5000 5000 4000
< Y X 5/2 5000 5000 0 0
< X - H/1 5000 1000 4000 0 ref=row-6

Y.65 an amendment of a cancelled order
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - 4/4 10000 0 0 0
> G Y X 9000
! Y X 4 2

Y.66 cancelled by the broker while an amendment is pending
> D X - 10000
< X - 0/0 10000 0 10000 0
> G Y X 9000
< Y X E/E 10000 0 10000 0
< X - 4/4 10000 0 0 0
! Y X 4 2

Y.67 expired while a cancellation is pending
> D X - 10000
< X - 0/0 10000 0 10000 0
> F Y X 10000
< Y X 6/6 10000 0 10000 0
< X - C/C 10000 0 0 0
! Y X C 1

Y.68 completed while a cancellation is pending, and cancelled
> D X - 10000
< X - 0/0 10000 0 10000 0
> F Y X 10000
< Y X 6/6 10000 0 10000 0
< X - F/6 10000 10000 0 10000
< Y X 4/2 10000 10000 0 0

Y.69 two amendments and a cancellation at once, the second amendment refused
> D X - 10000
< X - 0/0 10000 0 10000 0
> G A X 9000
> G B A 8000
> F C B 8000
< A X E/E 10000 0 10000 0
< C B 6/6 10000 0 10000 0
! B A 6 2
< A X 5/6 9000 0 9000 0
< A - F/6 9000 1000 8000 1000
< C A 4/4 9000 1000 0 0

Y.70 a filled order enlarged at the second attempt, and cancelled
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - F/2 10000 10000 0 10000
> G Y X 12000
< Y X E/E 10000 10000 0 0
! Y X 2 2
> G Z X 13000
< Z X E/E 10000 10000 0 0
< Z X 5/1 13000 10000 3000 0
< Z - F/1 13000 11000 2000 1000
< Z - 4/4 13000 11000 0 0 why=4

Y.71 two shares for one over night, then cancelled
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - F/1 10000 2000 8000 2000 id=A px=10
< X - 3/3 10000 2000 8000 0
< X - D/1 20000 4000 16000 0 why=0
< X - F/1 20000 5000 15000 1000 id=B px=5
< X - 4/4 20000 5000 0 0

Y.72 an amendment of an order they do not know yet
> D X - 10000
> G Y X 9000
! Y X 8 2 => A/0/10000 alarm=unknown-order
< X - 0/0 10000 0 10000 0

Y.73 refused while a cancellation is pending
> D X - 10000
> F Y X 10000
< Y X 6/6 10000 0 10000 0
< X - 8/8 10000 0 0 0
! Y X 8 1 alarm=unknown-order

Y.74 taken up after a halt by an acknowledgement, executions from before it
> D X - 10000
< X - 0/0 10000 0 10000 0
< X - F/1 10000 1000 9000 1000
< X - 9/9 10000 1000 9000 0
< X - F/9 10000 1500 8500 500
< X - 0/1 10000 1500 8500 0
< X - F/1 10000 2000 8000 500

Y.75 an order by telephone cancelled
~
< - - 0/0 10000 0 10000 0
< - - F/1 10000 2000 8000 2000
~
< - - 4/4 10000 2000 0 0 why=2
"""
