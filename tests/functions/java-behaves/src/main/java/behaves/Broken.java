package behaves;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;

/** Cannot be made. */
public class Broken implements RequestHandler<Object, Object> {
    public Broken() {
        throw new IllegalArgumentException("the shop has no door");
    }

    @Override
    public Object handleRequest(Object event, Context context) {
        return event;
    }

    /** Cannot even be loaded. */
    public static class Class {
        static final int NUMBER = Integer.parseInt("none");

        public int handle(Object event) {
            return NUMBER;
        }
    }
}
