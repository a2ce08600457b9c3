// A Java virtual machine, whose own handler of SIGSEGV serves null checks and stack overflows, and a stand-in driver beside it.
public class Managed {
  static native int roundTrip();

  Managed next;
  int value;

  static int valueOf(Managed some) {
    return some.value;  // compiled, the check for null is a fault
  }
  static int overflow(int depth) {
    return overflow(depth + 1) + 1;
  }

  public static void main(String[] arguments) {
    System.load(arguments[0]);
    int caught = 0;
    int right = 0;
    Managed there = new Managed();
    for (int i = 0; i < 200000; ++i) valueOf(there);
    for (int i = 0; i < 20000; ++i) {
      try {
        valueOf(i < 0 ? there : null);
      } catch (NullPointerException expected) {
        ++caught;
      }
      if (i % 100 == 0) right += roundTrip();
    }
    boolean overflowed = false;
    try {
      overflow(0);
    } catch (StackOverflowError expected) {
      overflowed = true;
    }
    right += roundTrip();
    System.out.println("caught " + caught + " overflowed " + overflowed + " right " + right);
  }
}
