package behaves;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import java.util.Map;
import java.util.TreeMap;

/** The interface with types of its own choice; the class alone is the handler. */
public class Hello implements RequestHandler<Map<String, Object>, Map<String, Object>> {
    private int count;

    @Override
    public Map<String, Object> handleRequest(Map<String, Object> event, Context context) {
        Map<String, Object> answer = new TreeMap<>(event);
        answer.put("count", ++count);
        answer.put("java", System.getProperty("java.specification.version"));
        return answer;
    }
}
